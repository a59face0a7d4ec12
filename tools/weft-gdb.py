# weft-gdb.py - green processes in gdb, live and in core files.
#
#     (gdb) source .../weft-gdb.py
#     (gdb) weft procs          every process: pid, state, what it is called and runs
#     (gdb) weft bt 66.0        the stack of one that does not run (#PID<66.0> does too), or has a
#                               thread for itself: blocked for long, in weft_blocking, disowned
#
# For a core file take the kernel's (ulimit -c): gdb's generate-core-file copies the
# whole reserve that stacks are cut from, a terabyte of nothing.
#
# It reads control blocks and stacks and runs no code of the program. A stopped
# stack is unwound from the pc, sp and fp that its descriptor holds, along the
# frame pointers; weft__context_layout says whether that is still so. It needs
# the debugging symbols of weft itself.
"""weft's processes: weft procs, weft bt PID."""

import re

import gdb

CONTEXT_LAYOUT = 1
STATE_MASK, STATE_DISOWNED, STATE_SERIAL_SHIFT = 3, 256, 9 # of the state word: proc.h
FREE, ACTIVE, PARKED, ENDING = range(4)
IN_BLOCKING = 2
FUNCTION, HANDLER, SERVER, GUEST, REMAINS = range(5)
WAITS_FOR_MAIL = 1
FRAMES_MAX = 64


def value(expression):
    return gdb.parse_and_eval(expression)


def unqualified(value):
    """A field without _Atomic, which older gdb cannot convert."""
    return int.from_bytes(read(int(value.address), value.type.sizeof), "little")


def read(address, size):
    return gdb.selected_inferior().read_memory(address, size).tobytes()


def word(address):
    return int.from_bytes(read(address, 8), "little")


def runtime():
    try:
        at = unqualified(value("weft__the_runtime"))
        layout = int(value("*(unsigned int *)&weft__context_layout"))
    except gdb.error:
        raise gdb.GdbError("weft: no debugging symbols of weft here")
    if layout != CONTEXT_LAYOUT:
        raise gdb.GdbError("weft: contexts have layout %d, this script knows %d" % (layout, CONTEXT_LAYOUT))
    if at == 0:
        raise gdb.GdbError("weft: no runtime runs")
    return gdb.Value(at).cast(gdb.lookup_type("struct weft__runtime").pointer()).dereference()


class Process:
    def __init__(self, slot, control):
        self.control = control
        self.state = unqualified(control["state"])
        self.run = self.state & STATE_MASK
        self.slot = slot
        self.serial = self.state >> STATE_SERIAL_SHIFT
        self.kind = int(control["fiber"]["kind"])
        self.stack = int(control["fiber"]["stack"])

    def pid(self):
        return "#PID<%d.%d>" % (self.slot, self.serial)

    def status(self, running):
        if self.run == ENDING:
            return "ending"
        if self.kind == GUEST:
            return "foreign"
        if self.kind == REMAINS:
            return "disowned"
        if self.run == PARKED or unqualified(self.control["inbox"]) == WAITS_FOR_MAIL:
            return "waiting"
        if int(self.control["flags"]) & IN_BLOCKING:
            return "blocking"
        return "running" if self.stack == 0 and int(self.control.address) in running else "ready"

    def function(self):
        if self.kind in (FUNCTION, HANDLER):
            return name_of(int(self.control["entry"]["fn"]))
        if self.kind == REMAINS: # it was called so
            bits = int(self.control["parent"]["bits"])
            return "of #PID<%d.%d>" % (bits >> 39, bits >> 4 & (1 << 35) - 1)
        return "server" if self.kind == SERVER else ""

    def thread(self):
        """The thread that it has for itself, outside of the workers; or None."""
        carrier = runtime()["sched"]["carriers"]["all"]
        address = int(self.control.address)
        while int(carrier) != 0:
            if address in (int(carrier["hog"]), unqualified(carrier["blocking"])):
                for thread in gdb.selected_inferior().threads():
                    if thread.ptid[1] == int(carrier["tid"]):
                        return thread
            carrier = carrier["next_all"]
        return None

    def label(self):
        extra = self.control["extra"]
        text = extra["label"].string(errors="replace") if int(extra) != 0 else ""
        return ' "%s"' % text if text else ""

    def frames(self):
        """The pc of each frame, innermost first."""
        stack = self.control["fiber"]["stack"].dereference()
        context = stack["context"]
        pc, sp, fp = (int(context[field]) for field in ("pc", "sp", "fp"))
        high = int(stack["low"]) + int(stack["size"])
        low = sp
        for _ in range(FRAMES_MAX):
            if pc == 0:
                return
            yield pc
            if not low <= fp <= high - 16 or fp % 8 != 0:
                return
            low = fp + 16
            fp, pc = word(fp), word(fp + 8)


def processes():
    table = runtime()["table"]
    base = table["base"]
    for slot in range(unqualified(table["n_used"])):
        process = Process(slot, base[slot])
        if process.run == FREE or process.state & (STATE_MASK | STATE_DISOWNED) == ENDING | STATE_DISOWNED:
            continue # of the latter the remains are shown
        yield process


def running():
    """The addresses of what the workers ran last."""
    sched = runtime()["sched"].dereference()
    found = set()
    for i in range(int(sched["n_workers"])):
        worker = sched["workers"][i].dereference()
        ran = worker["ran"]
        runs = unqualified(worker["counts"]["runs"])
        found.add(unqualified(ran[runs % (ran.type.range()[1] + 1)]))
    return found


def name_of(address):
    block = gdb.block_for_pc(address)
    while block is not None and block.function is None:
        block = block.superblock
    if block is not None:
        return block.function.print_name
    text = gdb.execute("info symbol 0x%x" % address, to_string=True)
    return text.split()[0] if not text.startswith("No symbol") else "??"


def place_of(address):
    line = gdb.find_pc_line(address)
    return " at %s:%d" % (line.symtab.filename, line.line) if line.symtab is not None else ""


class Weft(gdb.Command):
    """Look at weft's processes."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_STATUS, prefix=True)


class Procs(gdb.Command):
    """List weft's processes: pid, state, queue length, label and function."""

    def __init__(self):
        super().__init__("weft procs", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        now = running()
        for process in processes():
            print("%-16s %-9s %5d messages %s%s" % (
                process.pid(), process.status(now), int(process.control["n_messages"]),
                process.function(), process.label()))


class Backtrace(gdb.Command):
    """The stack of a process that does not run, or has a thread for itself: weft bt 66.0"""

    def __init__(self):
        super().__init__("weft bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        match = re.fullmatch(r"(?:#PID<)?(\d+)\.(\d+)>?", argument.strip())
        if match is None:
            raise gdb.GdbError("weft bt: give a pid, such as 66.0")
        slot, serial = (int(part) for part in match.groups())
        table = runtime()["table"]
        process = Process(slot, table["base"][slot]) if slot < unqualified(table["n_used"]) else None
        if process is None or process.run == FREE or process.serial != serial:
            raise gdb.GdbError("weft bt: there is no process #PID<%d.%d>" % (slot, serial))
        if process.stack == 0:
            if process.status(running()) == "waiting":
                print("it waits between two messages and holds no stack")
                return
            thread, before = process.thread(), gdb.selected_thread()
            if thread is None:
                raise gdb.GdbError("weft bt: it runs on a thread, or has not begun: see thread apply all bt")
            thread.switch()
            gdb.execute("bt")
            before.switch()
            return
        for number, pc in enumerate(process.frames()):
            call = pc if number == 0 else pc - 1 # what does not return may be a function's last
            print("#%-3d 0x%016x in %s%s" % (number, pc, name_of(call), place_of(call)))


Weft()
Procs()
Backtrace()
