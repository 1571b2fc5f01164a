"""Array operations of which a compiler makes few loops."""
