"""Take a video through an autoencoder's latent space: python run.py manipulation=noise noise.scale=0.5."""

from vae_experiments.runtime.interruption import take_signals

if __name__ == "__main__":
    take_signals()  # before what takes long to load

    from vae_experiments.commands.run import main

    main()
