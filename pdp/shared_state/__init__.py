"""What all workers of a host, and all hosts, know together: revocations, and when each session was last seen."""
