"""Who calls: public keys of issuers, their tokens, and the station that proves a credential once."""
