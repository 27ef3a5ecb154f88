"""The shapes of the two embedded models.

tiny-r1 is DeepSeek-V3's architecture (arXiv 2412.19437) in small: multi-head latent attention, one dense layer, then
layers of routed experts beside a shared one, chosen by sigmoid scores with a balancing bias (`noaux_tc`). Its latent
and rotary widths are V3's own, since vLLM's MLA kernels take no others. tiny-qwen is Qwen2's.
"""

from typing import Any

CONTEXT = 4096

# DeepSeek-V3's own YaRN settings. vLLM's CPU engine answers nonsense with `rope_type: default` for this architecture:
# log-probabilities are off by whole nats from the second position on. tests/embedded/test_serving.py holds the two
# together.
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 40.0,
    "original_max_position_embeddings": CONTEXT,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
# vLLM reads these two from config.json; transformers knows no other routing and does not write them.
ROUTING = {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}


def tiny_r1(tokenizer: Any) -> Any:
    """A DeepSeek-V3 model of 5.6 million parameters, fresh."""
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    config = DeepseekV3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        moe_intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        n_shared_experts=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.0,
        first_k_dense_replace=1,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=64,
        qk_rope_head_dim=64,
        v_head_dim=64,
        num_mtp_layers=0,
        max_position_embeddings=40 * CONTEXT,
        rope_parameters=dict(YARN),
        tie_word_embeddings=False,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|begin_of_sentence|>"),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return DeepseekV3ForCausalLM(config)


def tiny_qwen(tokenizer: Any) -> Any:
    """A Qwen2 model of 1.4 million parameters, fresh."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


class ExpertBalance:
    """V3's loss-free balancing (section 2.1.2): an expert's bias rises while it is chosen too seldom, else it falls."""

    SPEED = 1e-3  # the paper's gamma

    def __init__(self, model: Any) -> None:
        from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

        for module in model.modules():
            if isinstance(module, DeepseekV3TopkRouter):
                module.register_forward_hook(self._adjust)

    def _adjust(self, router: Any, _inputs: Any, outputs: Any) -> None:
        """After a training step's routing: one small step of the bias towards an equal load."""
        import torch

        if not router.training:
            return
        chosen = torch.bincount(outputs[2].flatten(), minlength=router.num_experts).float()
        router.e_score_correction_bias += self.SPEED * torch.sign(chosen.mean() - chosen)
