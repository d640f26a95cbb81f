"""`monitor demo`: a simulated RAG service, a local Slack inbox, and the incident they play."""
