"""The service: clinical rules, the model, the policy that joins them, cards, and the doors."""
