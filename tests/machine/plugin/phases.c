/*
 * QEMU plugin: counts the hypervisor's instructions, address by address, in phases of a test guest.
 *
 * A phase N (1 to 255) begins with the mark 0xca15b000 + N and ends with 0xca15e000 + N; see `qemu.h` for marks. At its end,
 * `out=PATH` gains
 *
 *     phase N total=INSTRUCTIONS entries=VMRUNS
 *     ADDRESS COUNT LOCK
 *
 * with one line for each instruction at or above `from=ADDRESS` (where only the hypervisor lives) that was executed in the phase.
 * LOCK tells what kind of locked instruction it is: `-` none, `c` compare-and-exchange or exchange-and-add, which every lock is taken
 * by, `x` another one.
 *
 * Several CPUs must share one thread of QEMU (`thread=single`): counters are added to without care.
 */
#include "qemu.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BEGIN = 0xca15b, END = 0xca15e };

/* One translation of an instruction; there may be many of the same. */
struct place {
    uint64_t address, count, before;
    char lock;
};

enum { PLACES = 4096 };
struct chunk {
    struct chunk *next;
    size_t used;
    struct place places[PLACES];
};

static struct chunk *chunks;
static uint64_t executed, executed_before, entries, entries_before;
static uint64_t from_address;
static uint32_t phase;
static FILE *out;

static struct place *new_place(void)
{
    if (!chunks || chunks->used == PLACES) {
        struct chunk *chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            abort();
        chunk->next = chunks;
        chunks = chunk;
    }
    return &chunks->places[chunks->used++];
}

/* What kind of locked instruction this is. (Intel SDM vol. 3A 9.1.2.2; XCHG with memory locks by itself) */
static char lock_of(const uint8_t *bytes, size_t len)
{
    bool is_locked = false;
    size_t at = 0;
    for (; at < len; at++) {
        uint8_t byte = bytes[at];
        if (byte == 0xf0)
            is_locked = true;
        else if (byte != 0x66 && byte != 0x67 && byte != 0xf2 && byte != 0xf3 && (byte & 0xf0) != 0x40 &&
                 byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65)
            break;
    }
    if (at + 1 >= len)
        return '-';
    if ((bytes[at] & 0xfe) == 0x86)
        return (bytes[at + 1] & 0xc0) != 0xc0 ? 'x' : '-';
    if (!is_locked)
        return '-';
    if (bytes[at] == 0x0f) {
        uint8_t second = bytes[at + 1] & 0xfe;
        if (second == 0xb0 || second == 0xc0 || bytes[at + 1] == 0xc7)
            return 'c';
    }
    return 'x';
}

static void on_begin(unsigned cpu, void *data)
{
    phase = (uintptr_t)data;
    for (struct chunk *chunk = chunks; chunk; chunk = chunk->next)
        for (size_t at = 0; at < chunk->used; at++)
            chunk->places[at].before = chunk->places[at].count;
    executed_before = executed;
    entries_before = entries;
}

static void on_end(unsigned cpu, void *data)
{
    if (phase != (uintptr_t)data)
        return;
    phase = 0;
    fprintf(out, "phase %u total=%" PRIu64 " entries=%" PRIu64 "\n", (unsigned)(uintptr_t)data, executed - executed_before,
            entries - entries_before);
    for (struct chunk *chunk = chunks; chunk; chunk = chunk->next)
        for (size_t at = 0; at < chunk->used; at++) {
            struct place *place = &chunk->places[at];
            if (place->count != place->before)
                fprintf(out, "%" PRIx64 " %" PRIu64 " %c\n", place->address, place->count - place->before, place->lock);
        }
    fflush(out);
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t at = 0; at < count; at++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, at);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint32_t mark = mark_of(insn);
        if (mark >> 12 == BEGIN)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_begin, NO_REGISTERS, (void *)(uintptr_t)(mark & 0xff));
        if (mark >> 12 == END)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end, NO_REGISTERS, (void *)(uintptr_t)(mark & 0xff));
        qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &executed, 1);
        if (address >= from_address) {
            struct place *place = new_place();
            place->address = address;
            place->lock = lock_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
            qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &place->count, 1);
            if (is(insn, VMRUN, sizeof VMRUN))
                qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &entries, 1);
        }
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    for (int at = 0; at < argc; at++) {
        if (!strncmp(argv[at], "from=", 5))
            from_address = strtoull(argv[at] + 5, NULL, 0);
        else if (!strncmp(argv[at], "out=", 4))
            out = fopen(argv[at] + 4, "w");
    }
    if (!out || !from_address)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
