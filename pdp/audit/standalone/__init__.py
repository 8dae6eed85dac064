"""What a receipt hands to a stranger: one program that needs nothing of ours, and is never imported by the service."""
