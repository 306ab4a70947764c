"""Text generation behind one small protocol. `load_engine` imports a library only when its engine is asked for."""
