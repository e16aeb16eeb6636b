"""unpack.py WHEEL TARGET: the C++ part of a PyTorch wheel (lib, include, share), without Python's own library."""
import os
import sys
import zipfile

wheel, target = sys.argv[1:]
LEFT_OUT = ("libtorch_python", "test", "libaoti_custom_ops", "libbackend_with_compiler", "libshm")


def wanted(name):
    parts = name.split("/")
    if name.endswith("/") or ".." in parts or parts[0] != "torch" or len(parts) < 3 or parts[1] not in ("lib", "include", "share"):
        return False
    return parts[1] != "lib" or not any(word in parts[2] for word in LEFT_OUT)


with zipfile.ZipFile(wheel) as archive:
    members = [member for member in archive.infolist() if wanted(member.filename)]
    total = sum(member.file_size for member in members)
    done, shown = 0, 0
    for member in members:
        path = os.path.join(target, *member.filename.split("/")[1:])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(member) as source, open(path, "wb") as sink:
            while block := source.read(8 << 20):
                sink.write(block)
                done += len(block)
                if done * 4 // total > shown:
                    shown = done * 4 // total
                    print(f"  unpacked {done >> 20} of {total >> 20} MB", flush=True)
