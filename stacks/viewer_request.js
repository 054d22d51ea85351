// A CloudFront Function (cloudfront-js-2.0), before the cache: of the requests that have the same answer it makes one.

var FORMATS = ['image/avif', 'image/webp'];  // the best first; whoever takes neither takes JPEG

function handler(event) {
    var request = event.request;
    try {
        // However a client encodes a path: also where it has a slash as %2F.
        var path = decodeURIComponent(request.uri);
        request.uri = path.split('/').map(encodeURIComponent).join('/');
    } catch (malformed) {
        return {
            statusCode: 400,
            statusDescription: 'Bad Request',
            headers: { 'content-type': { value: 'text/plain' } },
            body: 'malformed_path: the path is not percent-encoded UTF-8',
        };
    }
    request.headers.accept = { value: chosenAlready(path) ? 'image/jpeg' : best(request.headers.accept) };
    return request;
}

// Whether the URL of a size names its format.
function chosenAlready(path) {
    var parts = path.split('/');
    return parts[1] === 'i' && /(^|,)f_(avif|webp|jpeg|png)(,|$)/.test(parts[3]);
}

function best(accept) {
    var taken = accept ? (accept.multiValue || [accept]).map(one => one.value).join(',').toLowerCase().split(',') : [];
    return FORMATS.find(format => taken.some(type => takes(type, format))) || 'image/jpeg';
}

// `image/webp;q=0` says that it is not taken.
function takes(type, format) {
    var parts = type.split(';').map(part => part.trim());
    return parts[0] === format && !parts.slice(1).some(part => /^q=0(\.0*)?$/.test(part));
}
