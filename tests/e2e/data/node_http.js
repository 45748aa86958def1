// node_http.js PROXY_URL CA: Node's own http and https through a proxy, by hand and, where this Node
// can, by fetch with the proxy variables. One line for each.
const fs = require('fs');
const http = require('http');
const tls = require('tls');
const proxy = new URL(process.argv[2]);
const ca = fs.readFileSync(process.argv[3]);
const authorization = 'Basic ' + Buffer.from(proxy.username + ':' + proxy.password).toString('base64');

function read(response) {
  return new Promise((resolve, reject) => {
    let text = '';
    response.on('data', (piece) => text += piece);
    response.on('end', () => resolve(response.statusCode + ' ' + text.trim().slice(0, 40)));
    response.on('error', reject);
  });
}

function forward(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: proxy.hostname, port: proxy.port, method, path: 'http://example.com' + path,
      headers: {Host: 'example.com', 'Proxy-Authorization': authorization},
    }, (response) => resolve(read(response)));
    request.on('error', reject);
    for (const piece of body) request.write(piece);  // without a length: in chunks
    request.end();
  });
}

function tunnel(path) {
  return new Promise((resolve, reject) => {
    const connect = http.request({
      host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'example.com:443',
      headers: {Host: 'example.com:443', 'Proxy-Authorization': authorization},  // else Node names the proxy
    });
    connect.on('connect', (answer, socket) => {
      const secure = tls.connect({socket, servername: 'example.com', ca}, () => {
        http.get({createConnection: () => secure, host: 'example.com', path},
                 (response) => read(response).then((text) => { secure.end(); resolve(text); }));
      });
      secure.on('error', reject);
    });
    connect.on('error', reject);
    connect.end();
  });
}

async function main() {
  console.log('forward', await forward('GET', '/hello', []));
  console.log('upload', await forward('POST', '/upload', ['a'.repeat(70000), 'b'.repeat(70000)]));
  console.log('tunnel', await tunnel('/hello'));
  if (!process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
    console.log('fetch cannot');
    return;
  }
  console.log('fetch', (await (await fetch('https://example.com/hello')).text()).trim());
}
main().then(() => process.exit(0), (error) => { console.log('failed', error.message); process.exit(1); });
