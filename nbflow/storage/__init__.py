"""SQL and nothing but SQL: the schema, its migrations, and every statement, as named functions.

What the rows mean and when they change is decided above.
"""
