/*
 * QEMU plugin: counts instructions between two places of a boot.
 *
 * A mark is a NOP that no compiler makes, nopl NUMBER(%rax,%rax,1). Counting begins at the mark `begin=NUMBER`, at the instruction
 * at the address `start=ADDRESS`, or, without either, at the first VMRUN (0F 01 D8). It ends at the mark `end=NUMBER`, when the
 * result is written to the file `out=PATH`. What runs between a VMRUN and the instruction behind it is the guest's, the rest the
 * hypervisor's. One CPU only.
 */
#include "qemu.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t executed;
static uint64_t first, last_switch, guest, entries;
static uint64_t start_address, behind_vmrun;
static uint32_t begin_mark, end_mark;
static bool is_started, is_in_guest, is_done;
static const char *out_path;

static void on_vmrun(unsigned cpu, void *data)
{
    if (!is_started && !start_address && !begin_mark) {
        is_started = true;
        first = executed;
    }
    last_switch = executed;
    is_in_guest = true;
    entries += is_started;
}

static void on_exit_from_guest(unsigned cpu, void *data)
{
    if (is_in_guest) {
        if (is_started)
            guest += executed - last_switch;
        is_in_guest = false;
    }
}

static void on_start(unsigned cpu, void *data)
{
    if (!is_started) {
        is_started = true;
        first = executed;
        last_switch = executed;
        is_in_guest = true;
    }
}

static void on_end(unsigned cpu, void *data)
{
    FILE *out;
    if (!is_started || is_done)
        return;
    is_done = true;
    on_exit_from_guest(cpu, data);
    out = fopen(out_path, "w");
    if (!out)
        return;
    fprintf(out, "total=%" PRIu64 " guest=%" PRIu64 " entries=%" PRIu64 "\n", executed - first, guest, entries);
    fclose(out);
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t at = 0; at < count; at++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, at);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        uint32_t mark = mark_of(insn);
        void (*cb)(unsigned, void *) = NULL;
        if (is(insn, VMRUN, sizeof VMRUN)) {
            behind_vmrun = address + sizeof VMRUN;
            cb = on_vmrun;
        } else if (behind_vmrun && address == behind_vmrun) {
            cb = on_exit_from_guest;
        } else if (start_address && address == start_address) {
            cb = on_start;
        } else if (mark && mark == begin_mark) {
            cb = on_start;
        } else if (mark && mark == end_mark) {
            cb = on_end;
        }
        if (cb)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, NO_REGISTERS, NULL);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &executed, 1);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    for (int at = 0; at < argc; at++) {
        if (!strncmp(argv[at], "start=", 6))
            start_address = strtoull(argv[at] + 6, NULL, 0);
        else if (!strncmp(argv[at], "begin=", 6))
            begin_mark = strtoul(argv[at] + 6, NULL, 0);
        else if (!strncmp(argv[at], "end=", 4))
            end_mark = strtoul(argv[at] + 4, NULL, 0);
        else if (!strncmp(argv[at], "out=", 4))
            out_path = strdup(argv[at] + 4);
    }
    if (!out_path || !end_mark)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
