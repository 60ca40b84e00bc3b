"""Sessions: the record, its moves, the store contract and the stores behind it."""
