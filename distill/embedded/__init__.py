"""The models that need no hub: a teacher and a student's base made here, and a small instruct model from a package.

    data/models/tiny-r1                  DeepSeek-V3 in small, writes worked chains     in git
    data/models/tiny-qwen                Qwen2 in small, gives direct answers           in git
    data/models/smollm2-135m-instruct    Llama, 135M parameters                         made by `make models`

The first two are trained by `pretrain`, on the chains of `chains`; the third is unpacked by `smollm2`. No stage of the
pipeline imports this package: to a stage they are model folders like any other.
"""
