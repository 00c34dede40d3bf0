"""`ostiary demo`: the main job shown on loopback, with embedded parts and a real driver as an ordinary client."""
