"""The note: a few sentences that a model writes about an abnormal panel, shown only where every one of them stands on the input."""
