"""Other ways to the numbers of a rule: better for one kind of memory or one compiler."""
