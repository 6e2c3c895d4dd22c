"""Values computed from results that were taken together: pure formulas, one registry, each with its source and domain."""
