"""Who may do what in a review: users and roles, sessions and tokens, the guard before every request."""
