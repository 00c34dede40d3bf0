"""Protocol engines. Each is one folder, independent of the others and of the gate."""
