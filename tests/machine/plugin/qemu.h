/*
 * The few functions of QEMU's plugin interface, version 1 (QEMU 7.2), that are in use here, and what both plugins look for.
 * Debian has no package with the interface's own header, so they are declared by hand.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
static const uint8_t MARK[] = {0x0f, 0x1f, 0x84, 0x00};

/* The number of a mark, nopl NUMBER(%rax,%rax,1), which no compiler makes; 0 for any other instruction. */
static inline uint32_t mark_of(const struct qemu_plugin_insn *insn)
{
    uint32_t number = 0;
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    if (qemu_plugin_insn_size(insn) == sizeof MARK + sizeof number && memcmp(bytes, MARK, sizeof MARK) == 0)
        memcpy(&number, bytes + sizeof MARK, sizeof number);
    return number;
}

static inline bool is(const struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t len)
{
    return qemu_plugin_insn_size(insn) == len && memcmp(qemu_plugin_insn_data(insn), bytes, len) == 0;
}
