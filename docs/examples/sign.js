const { createHmac } = require('node:crypto');

function signedUrl(base, secret, options, key) {
  const path = `${options}/${key}`;
  const digest = createHmac('sha256', secret).update(path).digest().subarray(0, 20);
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return `${base}/i/${digest.toString('base64url')}/${encoded}`;
}

module.exports = { signedUrl };
