"""fortyninety: bare RTX 4090 boxes to a verified fleet that serves Llama 3.1 70B with vLLM."""
