"""Keep tenants from sharing prompts: a class that the engine loads by its `--middleware`.

vLLM keeps the KV cache of a prompt's beginning for whoever begins alike, and how soon the first
token comes tells whether somebody did. With a salt only requests of the same salt share it. The
class sets each request's salt from its tenant, whom the gateway alone names, whatever the client
sent; and it counts what each tenant asked for.

    vllm serve ... --middleware fortyninety.on_host.tenants.engine.Tenants

It is imported in the engine's own process, from an archive of these files on PYTHONPATH, with the
standard library and what vLLM brings. Where it cannot know its secret the engine does not start.
"""
