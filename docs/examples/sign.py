import base64
import hashlib
import hmac
from urllib.parse import quote


def signed_url(base: str, secret: str, options: str, key: str) -> str:
    path = f"{options}/{key}"
    digest = hmac.digest(secret.encode(), path.encode(), hashlib.sha256)[:20]
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{base}/i/{signature}/{quote(path)}"
