"""The model behind one Engine protocol. torch is imported here, late, and nowhere else at serving time."""
