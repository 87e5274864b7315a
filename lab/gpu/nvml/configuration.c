/*
 * Stands in for libnvidia-cfg, through which NVIDIA's own persistence daemon keeps cards open.
 *
 * Only what the daemon calls; the types are those of nvidia-cfg.h in NVIDIA's nvidia-persistenced.
 * The daemon also asks the kernel about the card's NUMA memory, finds no such device, says so in
 * the journal and closes the card again. So a card once opened keeps its mode until the next boot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CARDS "/run/lab-gpu/cards"
#define STATE "/run/lab-gpu/state"
#define MAXIMUM_CARDS 16

typedef struct {
    int domain, bus, slot, function;
} PciAddress;

static int read_bus(int index)
{
    char path[64], address[32] = "";
    snprintf(path, sizeof path, CARDS "/%d/pci_address", index);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    char *line = fgets(address, sizeof address, file);
    fclose(file);
    if (!line)
        return -1;
    /* 0000:01:00.0 */
    int bus = 0;
    for (const char *digit = strchr(address, ':') + 1; *digit != ':'; digit++)
        bus = bus * 16 + (*digit <= '9' ? *digit - '0' : *digit - 'a' + 10);
    return bus;
}

int nvCfgGetPciDevices(int *count, PciAddress **devices);
int nvCfgGetPciDevices(int *count, PciAddress **devices)
{
    if (access(STATE "/driver_version", F_OK) != 0)
        return 0;
    *devices = calloc(MAXIMUM_CARDS, sizeof **devices);
    for (*count = 0; *count < MAXIMUM_CARDS; (*count)++) {
        int bus = read_bus(*count);
        if (bus < 0)
            break;
        (*devices)[*count].bus = bus;
    }
    return *count > 0;
}

int nvCfgOpenPciDevice(int domain, int bus, int slot, int function, void **handle);
int nvCfgOpenPciDevice(int domain, int bus, int slot, int function, void **handle)
{
    static int opened;
    char path[64];
    (void)domain;
    (void)slot;
    (void)function;
    for (int index = 0; index < MAXIMUM_CARDS; index++) {
        if (read_bus(index) != bus)
            continue;
        snprintf(path, sizeof path, STATE "/%d/persistence_mode", index);
        FILE *file = fopen(path, "w");
        if (!file)
            return 0;
        fputs("1\n", file);
        fclose(file);
        *handle = &opened; /* only ever compared with null */
        return 1;
    }
    return 0;
}

int nvCfgCloseDevice(void *handle);
int nvCfgCloseDevice(void *handle)
{
    (void)handle;
    return 1;
}

unsigned int nvCfgEnableUVMPersistence(void *handle);
unsigned int nvCfgEnableUVMPersistence(void *handle)
{
    (void)handle;
    return 0;
}

unsigned int nvCfgDisableUVMPersistence(void *handle);
unsigned int nvCfgDisableUVMPersistence(void *handle)
{
    (void)handle;
    return 0;
}
