"""How the rules over a pipeline's figures stand."""
