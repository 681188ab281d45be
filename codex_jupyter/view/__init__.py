"""One turn as people see it: its state, and the forms it takes in pages and saved notebooks."""
