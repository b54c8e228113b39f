"""Any file becomes an image or a table; what is written appears whole or not at all."""
