"""Chat texts, ids and the assistant's tokens as transformers' apply_chat_template gives them.

python test/data/make-chat-golden.py > test/data/chat-golden.json

The templates are in the manner of Qwen (ChatML), Llama 3 and Gemma, and one with {% generation %}. The tokens of the first three are
found by the offsets of the text that a turn adds, without the white space at its end.
"""
import json
import sys
from pathlib import Path

from transformers import PreTrainedTokenizerFast

folder = Path(__file__).parent / "byte-bpe"
chatml = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
llama3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
gemma = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
marked = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\n' }}
        {%- generation %}
        {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
special = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>"]
turns = [
    {"role": "user", "content": "Where is Oslo? "},
    {"role": "assistant", "content": "In Norway.\nNorth of Denmark, at the sea."},
    {"role": "user", "content": "And  Zürich?"},
    {"role": "assistant", "content": " In Switzerland 🇨🇭"},
]
conversations = [turns, turns[:2], turns[:1], [{"role": "system", "content": "Be brief."}] + turns[:2]]

tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=str(folder / "tokenizer.json"), bos_token="<|endoftext|>", eos_token="<|endoftext|>", additional_special_tokens=special
)


def turn_tokens(messages, offsets, text):
    """1 for the tokens of what the assistant's turns add."""
    mask = [0] * len(offsets)
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = tokenizer.apply_chat_template(messages[:at], tokenize=False, add_generation_prompt=True)
        through = tokenizer.apply_chat_template(messages[: at + 1], tokenize=False)
        assert through.startswith(before) and text.startswith(through)
        end = len(before) + len(through[len(before) :].rstrip())
        for token, (first, last) in enumerate(offsets):
            mask[token] |= int(first < end and last > len(before))
    return mask


cases = []
for name, template in {"chatml": chatml, "llama3": llama3, "gemma": gemma, "marked": marked}.items():
    tokenizer.chat_template = template
    for messages in conversations:
        if name == "gemma" and messages[0]["role"] == "system":
            continue
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        asks = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        tokenized = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=name == "marked")
        assert tokenized["input_ids"] == encoded["input_ids"]
        mask = tokenized["assistant_masks"] if name == "marked" else turn_tokens(messages, encoded["offset_mapping"], text)
        cases.append({"template": name, "messages": messages, "text": text, "asks": asks, "ids": encoded["input_ids"], "mask": mask})
json.dump({"special": special, "templates": {"chatml": chatml, "llama3": llama3, "gemma": gemma, "marked": marked}, "cases": cases}, sys.stdout, ensure_ascii=False, indent=1)
