"""How the models are made: sounds, captions, precomputed latents, and one resumable loop for every part."""
