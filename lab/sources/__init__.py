"""Give hosts what they install from: package caches, indexes, mirrors, a repository."""
