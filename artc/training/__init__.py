"""How the embedded networks were made. Nothing here is needed, or imported, to compile a schedule."""
