/*
 * Stands in for NVIDIA's management library on a host whose cards are simulated.
 *
 * NVIDIA's own nvidia-smi runs over it unchanged. What the cards are is read from CARDS, one folder
 * a card and one file a value; what they remember (power limit, persistence mode, compute mode) and
 * which driver was loaded at boot is kept in STATE, which the lab empties when the host boots, as
 * power loss does on hardware. FAULTS holds return codes that a test makes a call fail with.
 *
 * Functions that are not here are generated from the header and return NVML_ERROR_NOT_SUPPORTED.
 *
 * No strtol and no scanf: newer C libraries give them a version that older ones lack, and the
 * library is built on one Debian release and may run on an earlier one.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "nvml.h"

#define CARDS "/run/lab-gpu/cards"
#define STATE "/run/lab-gpu/state"
#define FAULTS "/run/lab-gpu/faults"

#define MAXIMUM_CARDS 16
#define TEXT 128

struct nvmlDevice_st {
    unsigned int index;
};

/* Of this library alone: it exports what the header declares, and nothing else. */
#pragma GCC visibility push(hidden)
extern struct nvmlDevice_st cards[MAXIMUM_CARDS];
int read_text(const char *folder, const char *name, char *text);
unsigned int read_number(const char *folder, const char *name, unsigned int otherwise);
unsigned int parse_hexadecimal(const char *text);
nvmlReturn_t write_number(const char *folder, const char *name, unsigned int number);
nvmlReturn_t fault(const char *call);
void card_folder(nvmlDevice_t card, char *folder);
void state_folder(nvmlDevice_t card, char *folder);
unsigned int card_number(nvmlDevice_t card, const char *name);
nvmlReturn_t copy_out(const char *text, char *buffer, unsigned int length);
nvmlReturn_t card_text(nvmlDevice_t card, const char *name, char *buffer, unsigned int length);
unsigned int count_cards(void);
#pragma GCC visibility pop

static inline nvmlReturn_t give(unsigned int *out, unsigned int value)
{
    *out = value;
    return NVML_SUCCESS;
}
