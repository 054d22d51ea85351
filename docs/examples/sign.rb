require 'erb'
require 'openssl'

def signed_url(base, secret, options, key)
  path = "#{options}/#{key}"
  digest = OpenSSL::HMAC.digest('SHA256', secret, path)[0, 20]
  signature = [digest].pack('m0').tr('+/', '-_').delete('=')
  encoded = path.split('/', -1).map { |part| ERB::Util.url_encode(part) }.join('/')
  "#{base}/i/#{signature}/#{encoded}"
end
