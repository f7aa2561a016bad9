"""The nouns: frozen, valid once made, without effects."""
