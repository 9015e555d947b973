"""What the black-box tests share: a server under test, a ledger of what it acknowledged."""
