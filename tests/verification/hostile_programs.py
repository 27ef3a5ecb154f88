"""Programs that would rather be called right than be right.

They look for a token `secret-<32 hex digits>`, which is the expected output and also lies where the sandbox must keep
them from: in a file (@CANARY@), in the environment of the host's process. What gets out in another way says ESCAPED.
The test puts @CANARY@, @MARK@ (a name for files), @CWD@, @HOME@, @PORT@, @UDP@, @SOCKET@ and @ABSTRACT@ in.
"""

HELPERS = r"""
import os, re, signal, socket, sys, time
def look(data):
    data = data if isinstance(data, bytes) else str(data).encode("utf-8", "replace")
    if found := re.search(rb"secret-[0-9a-f]{32}", data):
        os.write(1, found[0] + b"\n")
        os._exit(0)
def look_in(*paths):
    for path in paths:
        try:
            with open(path, "rb") as file:
                look(file.read(1 << 22))
        except OSError:
            pass
def escaped(what):
    os.write(2, ("\nESCAPED " + what + "\n").encode())
    os._exit(1)
def attempt(what, *arguments):
    try:
        return what(*arguments)
    except Exception as error:
        return error
def syscall(number, *arguments):
    import ctypes
    return ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
LINE = b'{"status": "ok", "output": "secret", "cpu_s": 0.0, "note": ""}\n'
"""

HOSTILE = {
    # nothing but a claim
    "guess": "print('secret-' + '0' * 32)",
    "guess everything": "for i in range(100_000): print(f'secret-{i:032x}')",
    "say nothing": "",
    "echo the input": "print(sys.stdin.read())",
    "claim in the words of the checker": "print('correct'); print('passed 1 of 1 tests')",
    "exit with 0 at once": "os._exit(0)",
    "exit with text": "raise SystemExit('correct')",
    "exit with a code that is 0 in a byte": "sys.exit(256)",
    "no Python": "this is ) no program",
    "text with NUL": "print('a')\0",
    # what is printed
    "print NUL and surrogates": r"print('\0\ud800\udfff\U0010ffff' * 1000)",
    "print bytes that are no text": "os.write(1, bytes(range(256)) * 100)",
    "close standard output": "os.close(1); sys.stdout.close(); os.close(2)",
    "an output that lies when flushed": (
        "class Lie:\n    def write(self, text): pass\n"
        "    def flush(self): os._exit(0)\n    def __getattr__(self, name): return self\nsys.stdout = Lie()"
    ),
    "status lines on every descriptor": "for fd in range(256): attempt(os.write, fd, LINE)",
    "status line on standard output": "os.write(1, LINE)",
    # the process that runs it
    "leave by the frames": (
        "frame = sys._getframe()\nwhile frame:\n    look(repr(frame.f_locals)); look(repr(frame.f_globals))\n"
        "    frame.f_globals['same_lines'] = lambda *_: True; frame = frame.f_back"
    ),
    "look through all objects": "import gc\nfor one in gc.get_objects(): look(attempt(repr, one))",
    "look through the stack": "import inspect\nfor one in inspect.stack(): look(attempt(repr, one.frame.f_locals))",
    "tamper with builtins": (
        "import builtins\nbuiltins.str = type('S', (str,), {'__eq__': lambda *_: True, '__hash__': str.__hash__})\n"
        "builtins.all = builtins.any = lambda *_: True\nbuiltins.len = lambda _: 1\nprint('x')"
    ),
    "tamper with modules": (
        "import json\njson.dumps = lambda *_, **__: LINE.decode()\nos.wait4 = lambda *_: (1, 0, None)\n"
        "os._exit = lambda code: None\nsys.exit(0)"
    ),
    "become the supervisor": (
        "os._exit = lambda code: None\nos.wait4 = lambda *_: (1, 0, __import__('resource').getrusage(0))\n"
        "os.kill = lambda *_: None"
    ),
    "read its memory": (
        "parent = os.getppid()\nfor line in open(f'/proc/{parent}/maps'):\n    try:\n"
        "        start, end = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "        memory = open(f'/proc/{parent}/mem', 'rb', 0); memory.seek(start); look(memory.read(end - start))\n"
        "        escaped('read the memory of the supervisor')\n    except OSError:\n        pass"
    ),
    "write its descriptors": (
        "for fd in range(32):\n    opened = attempt(os.open, f'/proc/{os.getppid()}/fd/{fd}', os.O_WRONLY)\n"
        "    if isinstance(opened, int): os.write(opened, LINE); escaped('wrote what the supervisor says')"
    ),
    "take its descriptors": (
        "pid = syscall(434, os.getppid(), 0)\nfor fd in range(32):\n    mine = syscall(438, pid, fd, 0)\n"
        "    if mine >= 0: attempt(os.write, mine, b'{\"status\": []}\\n'); escaped('took a descriptor')"
    ),
    "trace it": (
        "import ctypes\nif ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0: escaped('traced the supervisor')"
    ),
    "read every process": (
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    look_in(*(f'/proc/{pid}/{name}' for name in ('environ', 'cmdline', 'maps', 'stack', 'fd/0', 'fd/3')))"
    ),
    "see the host's processes": "if len([n for n in os.listdir('/proc') if n.isdigit()]) > 4: escaped('saw processes')",
    "kill everything": "os.kill(-1, signal.SIGKILL)",
    "kill the first process": "attempt(os.kill, 1, signal.SIGKILL); print('still here')",
    "kill the supervisor": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(1)",
    "kill processes of the host": (
        "for pid in (@PID@, *range(100, 3000)):\n    if attempt(os.kill, pid, 0) is None: escaped(f'reached {pid}')"
    ),
    "stop the supervisor": "os.kill(os.getppid(), signal.SIGSTOP); time.sleep(100)",
    # its files
    "a folder for the output": (
        "for name in ('output', 'result', 'errors', 'input'):\n    attempt(os.unlink, '/tmp/' + name)\n"
        "    attempt(os.mkdir, '/tmp/' + name)"
    ),
    "a fifo for the output": (
        "for name in ('output', 'result', 'errors', 'input'):\n    attempt(os.unlink, '/tmp/' + name)\n"
        "    attempt(os.mkfifo, '/tmp/' + name)"
    ),
    "a link for the output": (
        "for name in ('output', 'result', 'errors', 'input'):\n    attempt(os.unlink, '/tmp/' + name)\n"
        "    attempt(os.symlink, '@CANARY@', '/tmp/' + name)"
    ),
    "an endless link for the output": "attempt(os.unlink, '/tmp/output'); os.symlink('/dev/zero', '/tmp/output')",
    # the host's files
    "read the canary": "look_in('@CANARY@', '/proc/1/root@CANARY@', '/proc/self/root@CANARY@', '/proc/1/cwd@CANARY@')",
    "change the canary": "open('@CANARY@', 'w').write('changed'); escaped('wrote the canary')",
    "look for the canary": (
        "for root in ('/', '/tmp', '/proc/1/root', '@CWD@', '@HOME@'):\n    for folder, _, names in os.walk(root):\n"
        "        if folder.startswith(('/proc/', '/usr', '/python', '/site', '/lib')): continue\n"
        "        look_in(*(os.path.join(folder, name) for name in names if 'canary' in name))"
    ),
    "read the host's files": (
        "for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/root', '/home', '/var', '/run', '/sys',\n"
        "             '@HOME@', '@CWD@', '@CWD@/pyproject.toml', '/dev/sda', '/dev/mem', '/dev/kmsg'):\n"
        "    if os.path.exists(path): escaped('saw ' + path)"
    ),
    "write outside of /tmp": (
        "for folder in ('/', '/usr', '/usr/bin', '/site', '/python', '/python/lib', '/dev', '/dev/shm', '/proc',\n"
        "               '/etc', '/bin', '/lib', '/var/tmp', '@CWD@', '@HOME@', '/tmp/..'):\n"
        "    path = folder + '/@MARK@'\n"
        "    if isinstance(attempt(open, path, 'w'), Exception) is False: escaped('wrote ' + path)\n"
        "    if attempt(os.mkdir, path) is None: escaped('made ' + path)"
    ),
    "write to the kernel": (
        "for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/1/oom_score_adj',\n"
        "             '/proc/sys/vm/overcommit_memory', '/proc/1/mem', '/proc/kcore'):\n"
        "    if isinstance(attempt(os.open, path, os.O_RDWR), int): escaped('opened ' + path)"
    ),
    "leave files in /tmp": "open('/tmp/@MARK@', 'w').write('x'); print(open('/tmp/@MARK@').read())",
    "import what judges it": (
        "sys.path[:0] = ['/site', '@CWD@']\ntry:\n    from distill.verification import code\n"
        "except ImportError:\n    sys.exit(0)\nescaped('imported the checker')"
    ),
    # the network
    "connect to the host": (
        "if attempt(socket.create_connection, ('127.0.0.1', @PORT@), 1).__class__ is socket.socket: escaped('tcp')"
    ),
    "connect outside": (
        "for host in ('192.0.2.1', '198.51.100.1', '2001:db8::1'):\n"
        "    if attempt(socket.create_connection, (host, 80), 0.2).__class__ is socket.socket: escaped(host)\n"
        "    if not isinstance(attempt(socket.socket(2, 2).sendto, b'x', ('192.0.2.1', 53)), Exception): escaped('udp')"
    ),
    "datagrams to the host": (
        "sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for host in ('127.0.0.1', '255.255.255.255'): attempt(sender.sendto, b'hello', (host, @UDP@))"
    ),
    "ask for a name": "look(socket.getaddrinfo('example.com', 80)); escaped('resolved a name')",
    "unix sockets of the host": (
        "for address in ('@SOCKET@', '\\0@ABSTRACT@'):\n"
        "    if attempt(socket.socket(socket.AF_UNIX).connect, address) is None: escaped(address)"
    ),
    "raw sockets": (
        "for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):\n"
        "    if isinstance(attempt(socket.socket, family, kind, 1), socket.socket): escaped('raw socket')"
    ),
    # privilege
    "become root": "[attempt(f, 0) for f in (os.setuid, os.setgid, os.seteuid)]\nif 0 in (os.getuid(), os.geteuid()): "
    "escaped('root')",
    "capabilities": (
        "for line in open('/proc/self/status'):\n    if line.startswith('Cap') and int(line.split()[1], 16):\n"
        "        escaped(line.strip())\n    if line.startswith('NoNewPrivs') and line.split()[1] != '1': escaped(line)"
    ),
    "set-user-id programs": (
        "import subprocess\nfor line in (['su', '-c', 'id'], ['mount'], ['sudo', '-n', 'id'], ['newuidmap', '1']):\n"
        "    done = attempt(lambda: subprocess.run(line, capture_output=True, input=b'').stdout)\n"
        "    if b'uid=0' in (done if isinstance(done, bytes) else b''): escaped(line[0])"
    ),
    "namespaces": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "for flags in (0x10000000, 0x10020000, 0x40000000, 0x20000000):\n"
        "    if libc.unshare(flags) == 0: escaped(f'unshare {flags:x}')\n"
        "    child = syscall(56, flags | 17, 0, 0, 0, 0) if os.uname().machine == 'x86_64' else -1\n"
        "    if child == 0: os._exit(0)\n    if child > 0: escaped(f'clone {flags:x}')"
    ),
    "mount": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0: escaped('mount')\n"
        "if libc.umount2(b'/usr', 2) == 0: escaped('umount')\n"
        "if attempt(os.chroot, '/tmp') is None: escaped('chroot')\n"
        "if libc.sethostname(b'x', 1) == 0: escaped('hostname')"
    ),
    "another program": "os.execv('/bin/sh', ['sh', '-c', 'cat @CANARY@ /proc/*/environ; env; exit 0'])",
    "higher limits": (
        "import resource\nfor name in ('CPU', 'AS', 'FSIZE', 'NPROC', 'NOFILE', 'STACK', 'CORE'):\n"
        "    limit = getattr(resource, 'RLIMIT_' + name); soft, hard = resource.getrlimit(limit)\n"
        "    if hard == -1: escaped('no limit of ' + name)\n"
        "    if attempt(resource.setrlimit, limit, (hard + 1, hard + 1)) is None: escaped(name)"
    ),
    # memory
    "one block": "block = bytearray(8 * 2**30); print(len(block))",
    "many blocks": "blocks = []\nwhile True: blocks.append(bytearray(2**20))",
    "children that hold memory": (
        "for _ in range(20):\n    if os.fork() == 0:\n        block = bytearray(400 * 2**20)\n        time.sleep(60)\n"
        "time.sleep(60)"
    ),
    "memory without a process": (
        "held = []\ntry:\n    while len(held) < 20: held.append(os.memfd_create('x'))\n"
        "except OSError:\n    sys.exit(0)\nescaped('held memory in files without a place')"
    ),
    "shared segments": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nif libc.shmget(0, 2**20, 0o1600) >= 0: escaped('shared memory')\n"
        "if libc.msgget(0, 0o1600) >= 0: escaped('message queue')"
    ),
    "catch every MemoryError": (
        "x = []\nwhile True:\n    try: x.append('a' * 10**7)\n    except MemoryError: break\nprint(1)"
    ),
    # processor, processes, output
    "hold the interpreter": "print(9**9**9)",
    "loop": "while True: pass",
    "loop and ignore signals": (
        "for number in set(range(1, 65)) - {9, 19, 32, 33}: attempt(signal.signal, number, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "sleep": "time.sleep(10**6)",
    "wait for more input": "sys.stdin.read(); os.read(os.pipe()[0], 1)",
    "stop itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "recurse": "def f(x): return f(x + 1) + 1\nsys.setrecursionlimit(10**9); f(0)",
    "nest": "x = []\nfor _ in range(10**6): x = [x]\nprint(x)",
    "compile for ever": "exec('(' * 10**5 + ')' * 10**5)",
    "match for ever": "re.match(r'(a|a)*b', 'a' * 60)",
    "fork bomb": "while True:\n    try: os.fork()\n    except OSError: pass",
    "thread bomb": "import threading\nwhile True: threading.Thread(target=time.sleep, args=(100,)).start()",
    "daemon": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        [os.close(fd) for fd in range(3)]\n"
        "        signal.signal(15, signal.SIG_IGN)\n        while True: time.sleep(1)\n    os._exit(0)\nprint('done')"
    ),
    "children that hold standard output": "[time.sleep(100) for _ in range(30) if os.fork() == 0]",
    "flood of output": "while True: print('x' * 10**6)",
    "flood of lines": "print('\\n' * 15_000_000)",
    "flood of errors": "while True: sys.stderr.write('x' * 10**6)",
    "flood of files": (
        "n = 0\nwhile True:\n    with open(f'/tmp/{n}', 'wb') as file: file.write(bytes(8 * 2**20))\n    n += 1"
    ),
    "many files": "for n in range(10**9): open(f'/tmp/{n}', 'w').close()",
    "deep folders": "while True: os.mkdir('x'); os.chdir('x')",
    "a sparse file": "os.truncate(os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 2**40); escaped('a terabyte')",
    "all descriptors": "held = []\nwhile True: held.append(os.dup(0))",
    "die of a signal": "os.kill(os.getpid(), signal.SIGSEGV)",
}

HOSTILE_CALLS = {
    "equal to everything": (
        "class Any:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\ndef f(x): return Any()"
    ),
    "a text that lies": (
        "class Lie(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "    def __repr__(self): return LINE.decode()\n    __str__ = __repr__\ndef f(x): return Lie('secret')"
    ),
    "a number that lies": (
        "class Lie(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "    def __repr__(self): return 'true'\ndef f(x): return Lie(1)"
    ),
    "a dict that lies": (
        "class Lie(dict):\n    def items(self): return iter([('status', 'ok')])\n"
        "    def __eq__(self, other): return True\ndef f(x): return Lie(a=1)"
    ),
    "json that lies": "import json\njson.dumps = lambda *_, **__: 'true'\ndef f(x): return 1",
    "json that is nested deeply": "import json\njson.dumps = lambda *_, **__: '[' * 10**6\ndef f(x): return 1",
    "json with a long number": "import json\njson.dumps = lambda *_, **__: '9' * 10**6\ndef f(x): return 1",
    "json that is no text": "import json\njson.dumps = lambda *_, **__: object()\ndef f(x): return 1",
    "an encoder that lies": "import json.encoder\njson.encoder.JSONEncoder.encode = lambda *_: '1'\ndef f(x): return 2",
    "not a number": "def f(x): return float('nan')",
    "itself": "def f(x):\n    one = []\n    one.append(one)\n    return one",
    "surrogates": r"def f(x): return '\ud800'",
    "a generator": "def f(x):\n    while True: yield x",
    "nothing": "def f(x): pass",
    "no function": "g = 1",
    "a function by another name": "class f:\n    def __new__(cls, x): return True",
    "a result without a call": (
        "for fd in range(3, 64): attempt(os.write, fd, b'\"secret\"')\nos._exit(0)\ndef f(x): return x"
    ),
    "the expected value in a frame": (
        "def f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        found = re.search(r'secret-[0-9a-f]{32}', repr(frame.f_locals) + repr(frame.f_globals))\n"
        "        if found: return found[0]\n        frame = frame.f_back"
    ),
    "the expected value among objects": (
        "import gc\ndef f(x):\n    for one in gc.get_objects():\n"
        "        if found := re.search(r'secret-[0-9a-f]{32}', str(attempt(repr, one))): return found[0]"
    ),
    "the canary": "def f(x): return open('@CANARY@').read()",
    "a long list": "def f(x): return [x] * 10**7",
    "never": "def f(x):\n    while True: pass",
    "print in place of return": "def f(x): os.write(1, LINE); print('secret')",
}

HOSTILE = {name: f"{HELPERS}{program}\n" for name, program in HOSTILE.items()}
HOSTILE_CALLS = {name: f"{HELPERS}{program}\n" for name, program in HOSTILE_CALLS.items()}
