/*
 * QEMU plugin: counts instructions between two places of a boot.
 *
 * Counting starts at the first VMRUN (0F 01 D8), or, where no hypervisor runs, at the instruction at `start=ADDRESS`. It ends at the
 * mark: a NOP that no compiler makes. What runs between a VMRUN and the instruction behind it is the guest's, the rest the
 * hypervisor's. One CPU only. The result is written to the file `out=PATH` when the mark is reached.
 *
 * Written against version 1 of the plugin interface (QEMU 7.2). Debian has no package with its header, so the few functions in use
 * are declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum { NO_REGISTERS = 0, ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*cb)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *counter, uint64_t by);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

static const uint8_t VMRUN[] = {0x0f, 0x01, 0xd8};
/* nopl 0x4b52414d(%rax,%rax,1): "MARK" */
static const uint8_t MARK[] = {0x0f, 0x1f, 0x84, 0x00, 0x4d, 0x41, 0x52, 0x4b};

static uint64_t executed;
static uint64_t first, last_switch, guest, entries;
static uint64_t start_address, behind_vmrun;
static bool is_started, is_in_guest, is_done;
static const char *out_path;

static void on_vmrun(unsigned cpu, void *data)
{
    if (!is_started) {
        is_started = true;
        first = executed;
    }
    last_switch = executed;
    is_in_guest = true;
    entries++;
}

static void on_exit_from_guest(unsigned cpu, void *data)
{
    if (is_in_guest) {
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

static void on_mark(unsigned cpu, void *data)
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

static bool is(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t len)
{
    return qemu_plugin_insn_size(insn) == len && memcmp(qemu_plugin_insn_data(insn), bytes, len) == 0;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    for (size_t at = 0; at < count; at++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, at);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        void (*cb)(unsigned, void *) = NULL;
        if (is(insn, VMRUN, sizeof VMRUN)) {
            behind_vmrun = address + sizeof VMRUN;
            cb = on_vmrun;
        } else if (behind_vmrun && address == behind_vmrun) {
            cb = on_exit_from_guest;
        } else if (start_address && address == start_address) {
            cb = on_start;
        } else if (is(insn, MARK, sizeof MARK)) {
            cb = on_mark;
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
        else if (!strncmp(argv[at], "out=", 4))
            out_path = strdup(argv[at] + 4);
    }
    if (!out_path)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
