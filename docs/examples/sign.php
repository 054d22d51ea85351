<?php
function signed_url(string $base, string $secret, string $options, string $key): string
{
    $path = "$options/$key";
    $digest = substr(hash_hmac('sha256', $path, $secret, true), 0, 20);
    $signature = rtrim(strtr(base64_encode($digest), '+/', '-_'), '=');
    $encoded = implode('/', array_map('rawurlencode', explode('/', $path)));
    return "$base/i/$signature/$encoded";
}
