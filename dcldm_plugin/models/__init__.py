"""The paper: conditioners, dual-conditioned denoisers, autoencoder, vocoder, schedule and checkpoints."""
