"""Show the whole way on one lab host: from nothing to an answered chat completion."""
