"""Model providers: one interface, the Responses API behind it."""
