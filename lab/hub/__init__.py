"""A model hub for the lab: what `huggingface_hub` needs to list and fetch a repository.

It speaks the Hub's HTTP interface for public model repositories without Xet: model information,
tree listings, and files with entity tags, commits and byte ranges. It imitates the outside world,
so that the deploy fetches with the same client and the same calls as from the real one.
"""
