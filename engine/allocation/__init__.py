"""Past returns in, base weights out: one interface, one adapter a library, and the store of facts."""
