"""What no log line may hold: pictures, credentials, signed addresses, and more text than anybody reads."""

import re

# Each pattern, and what it would find.
SECRETS = {
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b": "an id ASIA0123456789ABCDEF of a key",
    r"(?i)aws_?(secret|session)_?(access_?key|token)": "AWS_SECRET_ACCESS_KEY=x",
    r"(?i)X-Amz-(Signature|Credential|Security-Token)": "https://bucket/key?X-Amz-Signature=0",
    r"[A-Za-z0-9+/]{200}": "A" * 200,  # base64: of a picture, or of a session token
    r"JFIF|Exif\x00|RIFF.{4}WEBP|\\x[0-9a-f]{2}\\x[0-9a-f]{2}": r"b'\xff\xd8\xff\xe0'",
    r".{20000}": "x" * 20000,
}


def leaks(lines: list[str]) -> list[str]:
    return [f"{pattern}: {line[:300]}" for line in lines for pattern in SECRETS if re.search(pattern, line)]
