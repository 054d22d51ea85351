package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
)

func signedURL(base, secret, options, key string) string {
	path := options + "/" + key
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(path))
	signature := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:20])
	return base + "/i/" + signature + "/" + (&url.URL{Path: path}).EscapedPath()
}
