"""Fetches https://HOST/PATH over a socket that asyncio connects without blocking, and no proxy."""
import asyncio
import ssl
import sys


async def fetch(host, path):
    context = ssl.create_default_context(cafile="ca.pem")
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(host, 443, ssl=context), timeout=20)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), timeout=20)
    writer.close()
    return answer.decode().splitlines()


async def main():
    lines = await asyncio.gather(*(fetch(sys.argv[1], sys.argv[2]) for _ in range(20)))
    print(len(lines), {one[0] for one in lines}, {one[-1] for one in lines})


asyncio.run(main())
