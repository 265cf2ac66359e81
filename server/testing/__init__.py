"""What tests and benches run against: bad links, fake browsers, whole worlds in virtual time. Never in production."""
